import { z } from 'zod';
import { errorCodes } from '../error-table.ts';

/** Every error of the API: `application/problem+json` (RFC 9457). */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: 'Address of the code’s documentation.' }),
    title: z.string(),
    status: z.int(),
    code: z.enum(errorCodes),
    detail: z.string().meta({ description: 'What happened here and what to change.' }),
    upload: z
      .unknown()
      .optional()
      .meta({ description: 'The upload record, where the error is about one that exists.' }),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problemSchema>;
