import { z } from 'zod';
import type { TemporaryDirectory } from '../temporary-directory.ts';

/** What an experiment is run with. */
export interface Bench {
  /** Seconds instead of minutes: shows that the experiment works, and its figures mean little. */
  readonly quick: boolean;
  /** Empty at first and gone afterwards. */
  readonly directory: TemporaryDirectory;
  /** One line on how far it is. */
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** One quantity of one subject, measured some times. */
const measurementSchema = z.strictObject({
  /** The same for all that may be compared, e.g. `throughput`. */
  quantity: z.string(),
  /** E.g. `MB/s`, where M is a million. */
  unit: z.string(),
  /**
   * Who was measured, e.g. `Backhaul (CRC32)`, `curl -T`. The report compares with the first of a quantity, and those
   * that begin with `Backhaul` stand out in plots.
   */
  subject: z.string(),
  /** Where along a growing quantity, e.g. 1,000 of `agents`. */
  at: z.strictObject({ axis: z.string(), value: z.number() }).optional(),
  samples: z.array(z.number()).min(1),
});

/** What must hold of the measurements. */
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
  /** Sentences on what was peculiar to this run, e.g. a peer that is not installed. */
  notes: z.array(z.string()),
});
export type Findings = z.infer<typeof findingsSchema>;

export interface Experiment {
  /** As given to `--only`. */
  readonly name: string;
  readonly title: string;
  /** What is measured against what, for the reader of the figures. */
  readonly about: string;
  run(bench: Bench): Promise<Findings>;
}

export function isMet({ measured, limit }: Requirement): boolean {
  return 'atLeast' in limit ? measured >= limit.atLeast : measured <= limit.atMost;
}
