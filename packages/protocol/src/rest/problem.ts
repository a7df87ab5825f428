import { z } from 'zod';
import type { BackhaulError } from '../backhaul-error.ts';
import { errorCodes, errorTable } from '../error-table.ts';

/** Error response of the API: `application/problem+json` (RFC 9457). */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: '`urn:backhaul:error:` followed by the code.' }),
    title: z.string(),
    status: z.int(),
    code: z.enum(errorCodes),
    detail: z.string().meta({ description: 'Details of this occurrence and what to change.' }),
    reason: z.string().max(64).optional().meta({
      description: 'More specific reason for a refused token or connection, e.g. `token_expired`.',
    }),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problemSchema>;

export function problemOf(error: BackhaulError): Problem {
  const { httpStatus, sentence } = errorTable[error.code];
  return {
    type: `urn:backhaul:error:${error.code}`,
    title: sentence,
    status: httpStatus,
    code: error.code,
    detail: error.message,
    ...(error.reason !== undefined && { reason: error.reason }),
  };
}
