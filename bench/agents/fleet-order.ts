/** Requests to a process that runs many agents. */
export type FleetOrder =
  | {
      readonly do: 'connect';
      readonly serverUrl: string;
      readonly agents: readonly { readonly clientId: string; readonly token: string }[];
      /** Number of concurrent handshakes. */
      readonly atOnce: number;
    }
  | { readonly do: 'report' };

/** Response to `report`: arrivals since the previous report. */
export interface FleetReport {
  /** Milliseconds from the time in a command's path to its arrival. */
  readonly latenciesMs: readonly number[];
  readonly connected: number;
}
