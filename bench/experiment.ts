import { z } from 'zod';
import type { TemporaryDirectory } from '../test/harness/temporary-directory.ts';

/** Context in which an experiment runs. */
export interface Bench {
  /** Runs for seconds instead of minutes: shows that the experiment works, but its figures mean little. */
  readonly quick: boolean;
  /** Empty at the start, deleted at the end. */
  readonly directory: TemporaryDirectory;
  /** Prints one line of progress. */
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** One quantity of one subject, sampled one or more times. */
const measurementSchema = z.strictObject({
  /** Identical for all comparable measurements, e.g. `throughput`. */
  quantity: z.string(),
  /** E.g. `MB/s` (M is a million). */
  unit: z.string(),
  /**
   * Measured program, e.g. `Backhaul (CRC32)`, `curl -T`. The report compares with the first of a quantity, and plots
   * highlight those that begin with `Backhaul`.
   */
  subject: z.string(),
  /** Position along an axis, e.g. 1,000 of `agents`. */
  at: z.strictObject({ axis: z.string(), value: z.number() }).optional(),
  samples: z.array(z.number()).min(1),
});

/** A limit that the measurements must meet. */
const requirementSchema = z.strictObject({
  text: z.string(),
  measured: z.number(),
  unit: z.string(),
  limit: z.union([z.strictObject({ atLeast: z.number() }), z.strictObject({ atMost: z.number() })]),
});
export type Requirement = z.infer<typeof requirementSchema>;

export const findingsSchema = z.strictObject({
  measurements: z.array(measurementSchema),
  requirements: z.array(requirementSchema),
  /** Sentences about particulars of this run, e.g. a peer that is not installed. */
  notes: z.array(z.string()),
});
export type Findings = z.infer<typeof findingsSchema>;

export interface Experiment {
  /** Name for `--only`. */
  readonly name: string;
  readonly title: string;
  /** Explains to readers of the figures what is compared with what. */
  readonly about: string;
  run(bench: Bench): Promise<Findings>;
}

export function isMet({ measured, limit }: Requirement): boolean {
  return 'atLeast' in limit ? measured >= limit.atLeast : measured <= limit.atMost;
}
