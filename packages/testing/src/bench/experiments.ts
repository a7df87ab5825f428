import { agents } from './agents/agents.ts';
import type { Experiment } from './experiment.ts';
import { parts } from './parts/parts.ts';
import { signing } from './signing/signing.ts';
import { throughput } from './throughput/throughput.ts';

/** In the order they run. */
export const experiments: readonly Experiment[] = [throughput, signing, agents, parts];
