import { z } from 'zod';

/** What a process of many agents is told to be. */
export const crowdOrderSchema = z.strictObject({
  serverUrl: z.string(),
  agents: z.array(z.strictObject({ clientId: z.string(), token: z.string(), file: z.string() })),
  /** Flags for all of them. */
  args: z.array(z.string()),
});
export type CrowdOrder = z.infer<typeof crowdOrderSchema>;
