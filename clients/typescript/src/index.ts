/** A typed client of pointledger's HTTP API. */
export * from "./client.js";
export { ApiError, Dead, PointledgerError, Refused, StillPending, type Reason } from "./errors.js";
export type { components, operations, paths } from "./schema.js";
