import { z } from 'zod';
import { attemptOrFirstSchema, attemptSchema, commandIdSchema, uploadIdSchema } from './identifiers.ts';

/** The attempt or command to which a message belongs. */
export type MessageSubject =
  | { readonly upload_id: string; readonly attempt: number }
  | { readonly command_id: string };

/** Fields of an `error`: the upload or command of the refused message, if known. */
export const subjectFields = {
  upload_id: uploadIdSchema.optional().meta({ description: 'Upload of the refused message.' }),
  attempt: attemptSchema.optional().meta({ description: 'Attempt of the refused message.' }),
  command_id: commandIdSchema.optional().meta({ description: 'Command of the refused message.' }),
};

/** `download_file` has its upload in `upload_config`. */
const uploadCarrier = { upload_id: z.unknown().optional(), attempt: z.unknown().optional() };
const carrierSchema = z.object({
  ...uploadCarrier,
  command_id: z.unknown().optional(),
  upload_config: z.object(uploadCarrier).optional().catch(undefined),
});

/** Finds the subject of a frame that is too expensive to parse. A forged subject can affect only the sender's own work. */
export function subjectOfUnread(frame: string): MessageSubject | null {
  const beginning = frame.slice(0, 1024);
  const id = (name: string) => new RegExp(`"${name}":\\s*"([^"]{36})"`).exec(beginning)?.[1];
  const attempt = /"attempt":\s*(\d{1,7})\b/.exec(beginning)?.[1];
  return subjectOf({
    command_id: id('command_id'),
    upload_id: id('upload_id'),
    ...(attempt === undefined ? {} : { attempt: Number(attempt) }),
  });
}

/** Finds the subject of a JSON object, even if its other fields are invalid; null if it has no valid subject. */
export function subjectOf(json: object): MessageSubject | null {
  const carrier = carrierSchema.safeParse(json).data;
  if (carrier === undefined) return null;
  const command = commandIdSchema.safeParse(carrier.command_id);
  if (command.success) return { command_id: command.data };
  const about = carrier.upload_config ?? carrier;
  const upload = uploadIdSchema.safeParse(about.upload_id);
  const attempt = attemptOrFirstSchema.safeParse(about.attempt);
  return upload.success && attempt.success ? { upload_id: upload.data, attempt: attempt.data } : null;
}
