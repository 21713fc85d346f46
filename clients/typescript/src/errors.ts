/** What can go wrong, as classes: `ApiError`, `Refused`, `Dead` and `StillPending`. */
import type { components } from "./schema.js";

/** Why the ledger refuses: stable names, which a program can compare. */
export type Reason = components["schemas"]["Reason"];

/** What all errors of this package have in common. */
export class PointledgerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** The API answered with a status of 400 or more. */
export class ApiError extends PointledgerError {
  constructor(
    message: string,
    /** The HTTP status. 401: the token is missing or not valid. */
    readonly status: number,
    /** The reason, if the ledger has refused. */
    readonly reason?: Reason,
    /** When a retry may succeed. Only with 429 and 503. */
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }
}

/** The ledger has refused the command. That is final: sending the command again gives the same outcome. */
export class Refused extends PointledgerError {
  constructor(
    message: string,
    readonly taskId: string,
    readonly reason: string,
  ) {
    super(message);
  }
}

/** The processing of the command has failed. An operator can retry it, and the outcome then changes. */
export class Dead extends PointledgerError {
  constructor(readonly taskId: string) {
    super(`the command ${taskId} could not be applied; an operator must retry it`);
  }
}

/** The outcome was not there in time. The command is durable: wait again, with the same task id. */
export class StillPending extends PointledgerError {
  constructor(readonly taskId: string) {
    super(`the command ${taskId} is still pending`);
  }
}

/** Return the error that a response stands for. */
export async function apiErrorOf(response: Response): Promise<ApiError> {
  const problem: { message?: string; reason?: Reason } = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new ApiError(
    `${response.status}: ${problem.message ?? response.statusText}`,
    response.status,
    problem.reason,
    Number.isNaN(seconds) ? undefined : seconds,
  );
}
