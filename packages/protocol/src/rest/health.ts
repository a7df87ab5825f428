import { z } from 'zod';

/** Response of `GET /readyz`: 200 if `ready`, else 503. */
export const readinessSchema = z
  .object({
    ready: z.boolean(),
    checks: z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string().nullable() })),
  })
  .meta({ id: 'Readiness' });
export type Readiness = z.infer<typeof readinessSchema>;

/** One finding of the server about its configuration and environment. */
const findingSchema = z.object({
  name: z.string(),
  level: z.enum(['ok', 'info', 'warning', 'error']),
  detail: z.string(),
  fix: z.string().nullable().meta({ description: 'What to change, if anything.' }),
});
export type Finding = z.infer<typeof findingSchema>;

/** Response of `GET /doctor`. */
export const diagnosisSchema = z
  .object({ server_version: z.string(), server_time: z.iso.datetime(), findings: z.array(findingSchema) })
  .meta({ id: 'Diagnosis' });
export type Diagnosis = z.infer<typeof diagnosisSchema>;
