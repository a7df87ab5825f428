import { z } from 'zod';
import { commandIdSchema } from '../identifiers.ts';

/** Requests a health report; the agent responds with `result`. */
export const healthCheckSchema = z.object({
  action: z.literal('health_check'),
  command_id: commandIdSchema,
});
export type HealthCheck = z.infer<typeof healthCheckSchema>;
