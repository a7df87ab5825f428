import { z } from 'zod';
import { verificationSchema } from '../checksums.ts';
import { timestampSchema, uploadIdSchema } from '../identifiers.ts';

export const objectVerdictSchema = z.enum(['intact', 'altered', 'missing']).meta({
  description:
    '`intact`: no compared value differs. `altered`: a value differs, even if only because the same bytes were written again. `missing`: there is no object at the key and, in a bucket that keeps versions, the recorded version does not exist.',
});
export type ObjectVerdict = z.infer<typeof objectVerdictSchema>;

/** State of the key of a completed upload. */
export const keyStateSchema = z.enum(['recorded', 'other', 'nothing']).meta({
  description:
    '`recorded`: the object of the upload. `other`: another object or version. `nothing`: the key was deleted. With `other` and `nothing`, the recorded version is compared if the bucket still has it.',
});
export type KeyState = z.infer<typeof keyStateSchema>;

const objectCheckSchema = z
  .object({
    name: z.enum(['token', 'size', 'crc32', 'etag', 'version_id']).meta({
      description: '`token`: whether the object was created by this upload; its value is not shown.',
    }),
    ok: z
      .boolean()
      .nullable()
      .meta({ description: 'null if the store or the record has no value to compare.' }),
    expected: z
      .string()
      .nullable()
      .meta({ description: 'Value in the record. A size is in decimal digits.' }),
    found: z.string().nullable().meta({ description: 'Current value of the stored object.' }),
  })
  .meta({ id: 'ObjectCheck' });
export type ObjectCheck = z.infer<typeof objectCheckSchema>;

/** Response of `GET /uploads/{upload_id}/verification`. */
export const objectVerificationSchema = z
  .object({
    upload_id: uploadIdSchema,
    verdict: objectVerdictSchema,
    verification: verificationSchema.nullable().meta({
      description:
        'What this verification compared: a checksum of the whole object (`full_object`), an ETag of verified parts (`parts`), or only the size (`size_only`); null without an object. The bytes were not read.',
    }),
    checks: z.array(objectCheckSchema).meta({ description: 'Comparisons; empty without an object.' }),
    key_state: keyStateSchema.optional().meta({ description: 'Current state of the key.' }),
    checked_at: timestampSchema,
  })
  .meta({ id: 'ObjectVerification' });
export type ObjectVerification = z.infer<typeof objectVerificationSchema>;
