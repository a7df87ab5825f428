import { z } from 'zod';

/** Configuration of a process with many agents. */
export const crowdOrderSchema = z.strictObject({
  serverUrl: z.string(),
  agents: z.array(z.strictObject({ clientId: z.string(), token: z.string(), file: z.string() })),
  /** Flags for all agents. */
  args: z.array(z.string()),
});
export type CrowdOrder = z.infer<typeof crowdOrderSchema>;
