import type { Experiment } from './experiment.ts';
import { throughput } from './throughput/throughput.ts';

/** In the order they run. */
export const experiments: readonly Experiment[] = [throughput];
