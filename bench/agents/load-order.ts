/** Requests to the process that simulates the operators. */
export type LoadOrder =
  | {
      readonly do: 'open';
      readonly url: string;
      readonly token: string;
      /** Number of keep-alive connections. */
      readonly connections: number;
    }
  /** Sends `health_check` to all agents concurrently. */
  | { readonly do: 'health_check'; readonly clientIds: readonly string[] }
  | { readonly do: 'trigger'; readonly clientIds: readonly string[] }
  /** Returns the responses received so far. */
  | {
      readonly do: 'trigger_steadily';
      readonly clientIds: readonly string[];
      readonly perSecond: number;
      readonly seconds: number;
    };

export interface LoadReport {
  /** Seconds from the first request to the last response. */
  readonly seconds: number;
  /** Number of responses by status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Milliseconds from each request to its response. */
  readonly answerMs: readonly number[];
  /** Uploads created by the triggers. */
  readonly uploadIds: readonly string[];
}
