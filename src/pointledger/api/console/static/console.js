// What makes the console quicker to use. Every page works without it.
(() => {
  "use strict";
  const status = document.getElementById("status");
  const keys = document.getElementById("keys");
  const isTyping = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

  // Ids: a click copies the whole.
  function addCopyButtons(root) {
    for (const id of root.querySelectorAll("[data-copy]:not([data-ready])")) {
      id.dataset.ready = "";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.setAttribute("aria-label", "Copy " + id.dataset.copy);
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(id.dataset.copy);
        id.classList.add("copied");
        status.textContent = "Copied";
        setTimeout(() => id.classList.remove("copied"), 1200);
      });
      id.append(button);
    }
  }

  // A link with data-unfolds has loaded its part: a second click folds it away.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-unfolds]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const part = document.getElementById(link.dataset.unfolds);
    if (part.childElementCount === 0) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    part.replaceChildren();
    link.setAttribute("aria-expanded", "false");
  }, true);

  document.addEventListener("htmx:afterSwap", (event) => {
    addCopyButtons(event.target);
    const link = document.querySelector(`[data-unfolds="${CSS.escape(event.target.id)}"]`);
    if (link) link.setAttribute("aria-expanded", "true");
  });

  // The check of a form does not answer: say so, and keep what was typed.
  function sayUnchecked(event) {
    const form = event.target.closest("form[hx-post]");
    if (!form) return;
    const note = document.createElement("p");
    note.className = "notice warn";
    const status = event.detail.xhr.status;
    note.textContent = status === 401
      ? "Your session has ended. Review the change: you log in again, and what you typed is kept."
      : "The check does not answer at the moment. What you typed stays here.";
    document.querySelector(form.getAttribute("hx-target")).replaceChildren(note);
  }
  document.addEventListener("htmx:responseError", sayUnchecked);
  document.addEventListener("htmx:sendError", sayUnchecked);

  // A check has put its messages at the fields: say it to screen readers, too.
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    const id = event.detail.target.id;
    if (!id.endsWith("-error")) return;
    const input = document.getElementById(id.slice(0, -"-error".length));
    if (!input) return;
    if (document.getElementById(id).textContent.trim()) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  });

  // A part that cannot be loaded: go to its page, which says why.
  document.addEventListener("htmx:responseError", (event) => {
    const link = event.target.closest("a[href]");
    if (link && !event.detail.xhr.getResponseHeader("HX-Redirect")) location.assign(link.href);
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });

  // Makes a part like a new one and leaves alone what is the same. So focus, scrolling, a click that has begun,
  // and what a person has unfolded stay. An element with an id is found again if it has moved.
  const OWN = new Set(["open", "data-ready"]); // attributes that the page has set, not the server
  function match(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.dataset.copy !== fresh.dataset.copy) {
      old.replaceWith(fresh);
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!OWN.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (!("chart" in old.dataset) && !("copy" in old.dataset) && !("keep" in old.dataset)) matchChildren(old, fresh);
  }

  function matchChildren(old, fresh) {
    const nodes = [...fresh.childNodes];
    nodes.forEach((node, index) => {
      const same = node.id && [...old.children].find((child) => child.id === node.id);
      if (same && same !== old.childNodes[index]) old.insertBefore(same, old.childNodes[index]);
      const there = old.childNodes[index];
      if (!there) old.append(node);
      else if (there.nodeName === node.nodeName && there.id === node.id) match(there, node);
      else old.insertBefore(node, there);
    });
    while (old.childNodes.length > nodes.length) old.lastChild.remove();
  }

  // What changes while the page is open: parts come into [data-part], or the page loads itself again.
  for (const place of document.querySelectorAll("[data-stream]")) {
    const stream = new EventSource(place.dataset.stream);
    const target = place.querySelector("[data-part]");
    stream.addEventListener("part", (event) => {
      if (!target) return;
      const fresh = document.createElement("template");
      fresh.innerHTML = event.data;
      matchChildren(target, fresh.content);
      addCopyButtons(target);
      target.dispatchEvent(new CustomEvent("console:part", { bubbles: true }));
    });
    stream.addEventListener("end", (event) => {
      stream.close();
      if (event.data === "reload") location.reload();
    });
    window.addEventListener("pagehide", () => stream.close());
  }

  // A form that is on its way is not sent again. The server would recognize it, too.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent !== undefined) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "";
    form.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "?" && !keys.open) {
      event.preventDefault();
      keys.showModal();
    }
  });

  addCopyButtons(document);
})();
