import { z } from 'zod';
import { verificationSchema } from '../checksums.ts';
import { timestampSchema, uploadIdSchema } from '../identifiers.ts';

export const objectVerdictSchema = z.enum(['intact', 'altered', 'missing']).meta({
  description:
    '`intact`: nothing that could be compared differs. `altered`: something does, be it that the same bytes were written again. `missing`: there is no object at the key, nor, in a bucket that keeps versions, the recorded version.',
});
export type ObjectVerdict = z.infer<typeof objectVerdictSchema>;

/** What the key of a completed upload shows. */
export const keyStateSchema = z.enum(['recorded', 'other', 'nothing']).meta({
  description:
    '`recorded`: the object that the upload made. `other`: something else, or another version. `nothing`: it was deleted. With `other` and `nothing`, what was compared is the recorded version if the bucket still has it.',
});
export type KeyState = z.infer<typeof keyStateSchema>;

const objectCheckSchema = z
  .object({
    name: z.enum(['token', 'size', 'crc32', 'etag', 'version_id']).meta({
      description: '`token`: whether the object is the one that this upload made; its value is not shown.',
    }),
    ok: z.boolean().nullable().meta({ description: 'null: the store or the record has nothing to compare.' }),
    expected: z.string().nullable().meta({ description: 'Of the record. A size is in decimal digits.' }),
    found: z.string().nullable().meta({ description: 'Of the stored object, now.' }),
  })
  .meta({ id: 'ObjectCheck' });
export type ObjectCheck = z.infer<typeof objectCheckSchema>;

/** Answer of `GET /uploads/{upload_id}/verification`. */
export const objectVerificationSchema = z
  .object({
    upload_id: uploadIdSchema,
    verdict: objectVerdictSchema,
    verification: verificationSchema.nullable().meta({
      description:
        'How much the store let be compared just now: a checksum of the whole object, an ETag that stands for verified parts, or no more than the size; null without an object. The bytes were not read.',
    }),
    checks: z.array(objectCheckSchema).meta({ description: 'Empty without an object.' }),
    key_state: keyStateSchema.optional().meta({ description: 'What the key shows now.' }),
    checked_at: timestampSchema,
  })
  .meta({ id: 'ObjectVerification' });
export type ObjectVerification = z.infer<typeof objectVerificationSchema>;
