import { agentMemory } from './agent-memory/agent-memory.ts';
import { agents } from './agents/agents.ts';
import type { Experiment } from './experiment.ts';
import { parts } from './parts/parts.ts';
import { signing } from './signing/signing.ts';
import { size } from './size/size.ts';
import { stages } from './stages/stages.ts';
import { throughput } from './throughput/throughput.ts';

/** Sorted by execution order. */
export const experiments: readonly Experiment[] = [
  throughput,
  size,
  parts,
  agentMemory,
  stages,
  signing,
  agents,
];
