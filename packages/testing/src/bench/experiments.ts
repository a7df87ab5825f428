import type { Experiment } from './experiment.ts';

/** In the order they run. */
export const experiments: readonly Experiment[] = [];
