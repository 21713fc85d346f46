// As produce.py, with CloudEvents' SDK for JavaScript and a client for either broker.
//
// usage: node produce.mjs URL SECRET; prints the task ids of what it sent, by case.

import { createHmac, randomUUID } from "node:crypto";
import amqp from "amqplib";
import { CloudEvent, HTTP } from "cloudevents";
import { createClient } from "redis";

const [url, secret] = process.argv.slice(-2);
const basket = { amount_minor: 1999 };
const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=b" };

const cases = {
  object: { data: basket },
  typed: { datacontenttype: "application/json", data: basket },
  charset: { datacontenttype: "application/json; charset=utf-8", data: basket },
  suffix: { datacontenttype: "application/vnd.shop.basket+json", data: basket },
  schema: { dataschema: "https://example.org/basket/1", data: basket },
  bytes: { data: Buffer.from(JSON.stringify(basket)) },
  text: { data: JSON.stringify(basket) },
  trace: { ...trace, partitionkey: "anna", sampledrate: 30, cold: true, none: null, data: basket },
  earn: { kind: "earn", version: 1, data: { amount: 19 } },
};

const sent = {};

function event(name, more) {
  const taskid = randomUUID();
  const about = { id: name, source: "/till", type: "basket.paid", subject: name };
  sent[name] = taskid;
  return new CloudEvent({ ...about, tenantid: "shop", iat: new Date(), taskid, ...more });
}

function signed(body, headers = {}) {
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  return { ...headers, "x-producer": "web-shop", "x-key": "new", "x-signature": signature };
}

async function sender() {
  if (url.startsWith("amqp")) {
    const connection = await amqp.connect(url);
    const channel = await connection.createConfirmChannel();
    await channel.checkQueue("points.ingest");
    return {
      send: async (contentType, body, headers) =>
        channel.sendToQueue("points.ingest", Buffer.from(body), { contentType, headers: signed(body, headers) }),
      close: async () => {
        await channel.waitForConfirms();
        await connection.close();
      },
    };
  }
  const client = await createClient({ url }).connect();
  return {
    send: (_, body, headers) => {
      const properties = { body_encoding: "base64" };
      const message = { body: Buffer.from(body).toString("base64"), headers: signed(body, headers), properties };
      return client.lPush("points.ingest", JSON.stringify(message));
    },
    close: () => client.close(),
  };
}

const { send, close } = await sender();
for (const [name, more] of Object.entries(cases)) {
  const { headers, body } = HTTP.structured(event(name, more));
  await send(headers["content-type"], body);
}
const { headers, body } = HTTP.structured(event("parameters", { data: basket }));
await send(headers["content-type"].toUpperCase(), body);
const batch = [event("batch1", { data: basket }), event("batch2", { data: basket })];
await send("application/cloudevents-batch+json", JSON.stringify(batch));
const plain = HTTP.structured(event("no-json", { datacontenttype: "text/plain", data: "a basket" }));
await send(plain.headers["content-type"], plain.body);
const binary = HTTP.binary(event("binary", { data: basket }));
await send(binary.headers["content-type"], binary.body, binary.headers);
await close();
delete sent["no-json"];
delete sent.binary;
console.log(JSON.stringify(sent));
