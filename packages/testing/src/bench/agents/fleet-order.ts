/** What a process of many agents is told to do. */
export type FleetOrder =
  | {
      readonly do: 'connect';
      readonly serverUrl: string;
      readonly agents: readonly { readonly clientId: string; readonly token: string }[];
      /** Handshakes under way at the same time. */
      readonly atOnce: number;
    }
  | { readonly do: 'report' };

/** Answer to `report`: what has come since the last one. */
export interface FleetReport {
  /** From the moment in a command's path to its arrival, ms. */
  readonly latenciesMs: readonly number[];
  readonly connected: number;
}
