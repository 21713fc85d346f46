// As consume.py, with CloudEvents' SDK for JavaScript and a client for either broker.
//
// usage: node consume.mjs URL COUNT; prints what the SDK read and found valid, as a list.

import amqp from "amqplib";
import { HTTP } from "cloudevents";
import { createClient } from "redis";

const [url, count] = process.argv.slice(-2);
const received = [];

function receive(contentType, body) {
  const event = HTTP.toEvent({ headers: { "content-type": contentType }, body });
  event.validate();
  received.push(event);
}

if (url.startsWith("amqp")) {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  await new Promise((resolve) =>
    channel.consume("points.events", (message) => {
      receive(message.properties.contentType, message.content.toString());
      channel.ack(message);
      if (received.length === Number(count)) resolve();
    }),
  );
  await connection.close();
} else {
  const client = await createClient({ url }).connect();
  while (received.length < count) {
    const { element } = await client.brPop("points.events", 30);
    const message = JSON.parse(element);
    receive(message["content-type"], Buffer.from(message.body, message.properties.body_encoding).toString());
  }
  client.destroy();
}
console.log(JSON.stringify(received));
