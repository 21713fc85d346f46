// Uses the five specified routes with openapi-fetch and the types that openapi-typescript generates as `schema`.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, token, anna, ben] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const path = { user_id: anna };

const applied = await client.POST("/admin/points/apply-rule", {
  body: { user_id: anna, event_type: "basket.paid", metadata: { amount_minor: 1999 } },
});
assert.equal(applied.response.status, 200);
assert(applied.data && "account" in applied.data.data);
assert.equal(applied.data.data.points_earned, 19);

await client.POST("/points/{user_id}/earn", { params: { path: { user_id: ben } }, body: { amount: 1 } });
const header = { "X-Idempotency-Key": `present ${anna}` };
for (const replayed of [null, "true"]) {
  const given = await client.POST("/points/{user_id}/transfer", {
    params: { path, header },
    body: { to_user_id: ben, amount: 4 },
  });
  assert(given.data && "account" in given.data.data);
  assert.equal(given.data.data.account.balance, 15);
  assert.equal(given.response.headers.get("Idempotent-Replayed"), replayed);
}

const expired = await client.POST("/admin/points/{user_id}/expire", { params: { path }, body: { amount: 100 } });
assert(expired.data && "account" in expired.data.data);
assert.deepEqual([expired.data.data.settled, expired.data.data.account.balance], [15, 0]);

const page = await client.GET("/points/{user_id}/transactions", {
  params: { path, query: { type: "spend", page_size: 5 } },
});
assert(page.data);
assert.deepEqual(page.data.items.map((item) => item.amount), [4]);
assert.equal(page.data.pagination.next_cursor, null);

const adjusted = await client.POST("/admin/wallets/{user_id}/adjust", {
  params: { path },
  body: { type: "deposit", amount: "5.00", reason: "a complaint" },
});
assert(adjusted.data && "wallet" in adjusted.data.data);
assert.equal(adjusted.data.data.wallet?.balance, "5.00");

const refused = await client.POST("/points/{user_id}/transfer", {
  params: { path },
  body: { to_user_id: ben, amount: 4 },
});
assert.equal(refused.response.status, 409);
assert(refused.error);
assert.equal(refused.error.reason, "INSUFFICIENT_BALANCE");
console.log("all five");
