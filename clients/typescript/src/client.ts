/** A thin client: the typed routes, and what every caller would write around them. */
import createClient, { type Client } from "openapi-fetch";
import { ApiError, apiErrorOf, Dead, Refused, StillPending } from "./errors.js";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
/** An account, a transaction, and a command with its outcome. */
export type Account = Schemas["PointAccountResponse"];
export type Transaction = Schemas["PointTransactionResponse"];
export type Task = Schemas["Task"];
/** A command that is applied: `data` is its result. */
export type AppliedTask = Task & { state: "applied"; data: NonNullable<Task["data"]> };

/** The routes that take one command, like `/points/{user_id}/earn`. */
export type CommandRoute = {
  [Route in keyof paths]: paths[Route] extends { post: { responses: { 202: Pending } } } ? Route : never;
}[keyof paths];
type Pending = { content: { "application/json": Schemas["PendingResponse"] } };
type Operation<Route extends CommandRoute> = paths[Route] extends { post: infer Post } ? Post : never;
/** A command for a route: its body, and the parameters of the route's path, if it has some. */
export type Command<Route extends CommandRoute> = {
  body: Operation<Route> extends { requestBody: { content: { "application/json": infer Body } } } ? Body : never;
} & (Operation<Route> extends { parameters: { path: infer Path } } ? { path: Path } : { path?: never });

type TransactionQuery = NonNullable<paths["/points/{user_id}/transactions"]["get"]["parameters"]["query"]>;
export type TransactionFilter = Omit<TransactionQuery, "cursor" | "page">;

export interface Options {
  /** The API's URL, like `https://points.example`. */
  url: string;
  /** The token, or a function that returns one: it is called for each request. */
  token: string | (() => string | Promise<string>);
  /** Another `fetch`, for example with a proxy. */
  fetch?: (request: Request) => Promise<Response>;
}

const FIRST_PAUSE_MS = 20; // most commands are applied by then
const LONGEST_PAUSE_MS = 1000; // a query by key each second costs one of a user's 20 rate tokens
const LAST_LOOK_MS = 1000; // how long it may take, although the time is up
const PAGE_SIZE = 100; // the most that a page can have

export class PointsClient {
  /** Every route, with its types. Its methods throw ApiError for a status of 400 or more. */
  readonly http: Client<paths, "application/json">;

  constructor({ url, token, fetch }: Options) {
    this.http = createClient<paths, "application/json">({ baseUrl: url, ...(fetch && { fetch }) });
    this.http.use({
      async onRequest({ request }) {
        request.headers.set("Authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
        return request;
      },
      async onResponse({ response }) {
        if (!response.ok) throw await apiErrorOf(response);
      },
    });
  }

  /**
   * Enqueue a command and return its task id. The command is durable then, and applied soon after.
   *
   * `key` is its idempotency key, like an order's number: with the same key it is the same command, so it can
   * be sent again after a network error. Throws ApiError.
   */
  async enqueue<Route extends CommandRoute>(
    route: Route,
    command: Command<Route>,
    key: string,
  ): Promise<string> {
    const headers = { Prefer: "respond-async", "X-Idempotency-Key": key };
    const init = { params: { path: command.path }, body: command.body, headers };
    // The compiler cannot follow a route that is a type parameter: `enqueue`'s own types check the command.
    const answer: { data?: unknown } = await this.http.POST(route as "/points/{user_id}/earn", init as never);
    return (answer.data as Schemas["PendingResponse"]).data.task_id;
  }

  /**
   * Wait for a command's outcome, for 30 seconds by default. Throws Refused, Dead, StillPending and ApiError.
   *
   * While the API answers 429 or 503 with `Retry-After`, it asks again. If the API does not answer, it ends at
   * most a second late.
   */
  async wait(taskId: string, { seconds = 30 }: { seconds?: number } = {}): Promise<AppliedTask> {
    const deadline = Date.now() + seconds * 1000;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const { task, pauseMs } = await this.look(taskId, pause, deadline);
      if (task?.state === "applied" && task.data) return { ...task, state: "applied", data: task.data };
      if (task?.state === "refused") throw new Refused(task.message ?? "", taskId, task.reason ?? "");
      if (task?.state === "dead") throw new Dead(taskId);
      const left = deadline - Date.now();
      if (left <= 0) throw new StillPending(taskId);
      await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, left)));
    }
  }

  /** Get a user's account. Throws ApiError, with the status 404 if there is none. */
  async account(userId: string): Promise<Account> {
    const { data } = await this.http.GET("/points/{user_id}", { params: { path: { user_id: userId } } });
    return data!.data;
  }

  /** Yield a user's transactions, newest first, page after page. New transactions do not shift the pages. */
  async *transactions(userId: string, filter: TransactionFilter = {}): AsyncGenerator<Transaction, void> {
    const path = { user_id: userId };
    for (let next: string | null = ""; next !== null; ) {
      const query: TransactionQuery = { page_size: PAGE_SIZE, ...filter };
      if (next) query.cursor = Number(next);
      const { data } = await this.http.GET("/points/{user_id}/transactions", { params: { path, query } });
      yield* data!.items;
      next = data!.pagination.next_cursor;
    }
  }

  /** Look once: the task, unless it is temporarily out of reach, and how long to pause before the next look. */
  private async look(
    taskId: string,
    pauseMs: number,
    deadline: number,
  ): Promise<{ task?: Task; pauseMs: number }> {
    const signal = AbortSignal.timeout(Math.max(deadline - Date.now(), LAST_LOOK_MS));
    try {
      const params = { path: { task_id: taskId } };
      const { data } = await this.http.GET("/tasks/{task_id}", { params, signal });
      if ("batch_id" in data!.data) throw new TypeError(`${taskId} is a batch: ask http.GET("/tasks/{task_id}")`);
      return { task: data!.data, pauseMs };
    } catch (error) {
      if (signal.aborted) return { pauseMs };
      if (!(error instanceof ApiError) || error.retryAfterSeconds === undefined) throw error;
      return { pauseMs: error.retryAfterSeconds * 1000 };
    }
  }
}
