/** What the process that plays the operators is told to do. */
export type LoadOrder =
  | {
      readonly do: 'open';
      readonly url: string;
      readonly token: string;
      /** Connections that are kept alive. */
      readonly connections: number;
    }
  /** To all of them at once. */
  | { readonly do: 'health_check'; readonly clientIds: readonly string[] }
  | { readonly do: 'trigger'; readonly clientIds: readonly string[] }
  /** Whatever has been answered so far. */
  | {
      readonly do: 'trigger_steadily';
      readonly clientIds: readonly string[];
      readonly perSecond: number;
      readonly seconds: number;
    };

export interface LoadReport {
  /** From the first request to the last answer. */
  readonly seconds: number;
  /** How many answers had which status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** From each request to its answer. */
  readonly answerMs: readonly number[];
  /** What triggers were accepted as. */
  readonly uploadIds: readonly string[];
}
