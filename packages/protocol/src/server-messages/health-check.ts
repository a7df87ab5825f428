import { z } from 'zod';
import { commandIdSchema } from '../identifiers.ts';

/** Asks the agent how it is; answered by `result`. */
export const healthCheckSchema = z.object({
  action: z.literal('health_check'),
  command_id: commandIdSchema,
});
export type HealthCheck = z.infer<typeof healthCheckSchema>;
