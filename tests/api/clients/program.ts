// Uses the package `pointledger` as another project does: the five specified routes, outcomes, errors and pages.
import assert from "node:assert/strict";
import { ApiError, PointsClient, Refused, StillPending, type Reason } from "pointledger";

const [url, token, anna, ben] = process.argv.slice(2) as [string, string, string, string];
let asked = 0;
const points = new PointsClient({ url, token: async () => (asked++, token) });
const ofAnna = { user_id: anna };

// Commands: enqueued with a key, then waited for.
const event = { body: { user_id: anna, event_type: "basket.paid", metadata: { amount_minor: 1999 } } };
const applied = await points.wait(await points.enqueue("/admin/points/apply-rule", event, `basket ${anna}`));
assert("points_earned" in applied.data);
assert.equal(applied.data.points_earned, 19);
const started = { path: { user_id: ben }, body: { amount: 1 } };
await points.wait(await points.enqueue("/points/{user_id}/earn", started, `start ${ben}`));

const present = { path: ofAnna, body: { to_user_id: ben, amount: 4 } };
const first = await points.enqueue("/points/{user_id}/transfer", present, `present ${anna}`);
const second = await points.enqueue("/points/{user_id}/transfer", present, `present ${anna}`);
assert.equal(second, first);
assert.equal((await points.wait(first)).kind, "transfer");
assert.equal((await points.account(anna)).balance, 15);

// Any route, with its types: the answer waits for the outcome.
const expired = await points.http.POST("/admin/points/{user_id}/expire", {
  params: { path: ofAnna },
  body: { amount: 5 },
});
assert(expired.data && "account" in expired.data.data);
assert.deepEqual([expired.data.data.settled, expired.data.data.account.balance], [5, 10]);
const adjusted = await points.http.POST("/admin/wallets/{user_id}/adjust", {
  params: { path: ofAnna },
  body: { type: "deposit", amount: "5.00", reason: "a complaint" },
});
assert(adjusted.data && "wallet" in adjusted.data.data);
assert.equal(adjusted.data.data.wallet?.balance, "5.00");

// Pages: one transaction each.
const pages = [];
for await (const transaction of points.transactions(anna, { page_size: 1 })) pages.push(transaction.type);
assert.deepEqual(pages, ["expire", "spend", "earn"]);
const spends = [];
for await (const transaction of points.transactions(anna, { type: "spend" })) spends.push(transaction.amount);
assert.deepEqual(spends, [4]);

// Errors.
const expected: Reason = "INSUFFICIENT_BALANCE";
const tooMuch = { path: ofAnna, body: { amount: 1000 } };
const refused = await points.enqueue("/points/{user_id}/spend", tooMuch, `too much ${anna}`);
await assert.rejects(points.wait(refused), (error) => {
  assert(error instanceof Refused);
  assert.deepEqual([error.name, error.reason, error.taskId], ["Refused", expected, refused]);
  return true;
});
const atOnce = points.http.POST("/points/{user_id}/spend", { params: { path: ofAnna }, body: tooMuch.body });
await assert.rejects(atOnce, { name: "ApiError", status: 409, reason: expected });
const other = { path: ofAnna, body: { amount: 1 } };
const reused = points.enqueue("/points/{user_id}/spend", other, `too much ${anna}`);
await assert.rejects(reused, { status: 422, reason: "IDEMPOTENCY_KEY_REUSED" });
await assert.rejects(points.account("nobody"), { status: 404, reason: "ACCOUNT_NOT_FOUND" });
await assert.rejects(new PointsClient({ url, token: "no token" }).account(anna), (error) => {
  assert(error instanceof ApiError);
  return error.status === 401;
});

// A wait ends, and goes on while the API asks to come back later.
const answers = [new Response("away", { status: 503, headers: { "Retry-After": "0" } })];
const fetch = async () => answers.shift() ?? Response.json({ data: { state: "pending" } });
await assert.rejects(new PointsClient({ url, token, fetch }).wait(first, { seconds: 0.1 }), StillPending);
assert.equal(answers.length, 0);
const silent = (request: Request) =>
  new Promise<Response>((_, reject) => {
    request.signal.addEventListener("abort", () => reject(request.signal.reason));
  });
const open = setInterval(() => undefined, 1000); // as a socket does, it keeps the program from ending
await assert.rejects(new PointsClient({ url, token, fetch: silent }).wait(first, { seconds: 0.1 }), StillPending);
clearInterval(open);
const batch = async () => Response.json({ data: { batch_id: first, state: "done" } });
await assert.rejects(new PointsClient({ url, token, fetch: batch }).wait(first), /is a batch/);

// @ts-expect-error: an unknown field does not compile
const misspelt = points.enqueue("/points/{user_id}/spend", { path: ofAnna, body: { amuont: 1 } }, "a key");
await assert.rejects(misspelt, { status: 400 });
assert(asked > 10);
console.log("all of it");
