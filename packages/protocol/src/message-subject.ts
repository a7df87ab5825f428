import { z } from 'zod';
import { attemptOrFirstSchema, attemptSchema, commandIdSchema, uploadIdSchema } from './identifiers.ts';

/** The attempt or the command that a message is about. */
export type MessageSubject =
  | { readonly upload_id: string; readonly attempt: number }
  | { readonly command_id: string };

/** In an `error`: what the refused message was about, if the reader could tell. */
export const subjectFields = {
  upload_id: uploadIdSchema.optional().meta({ description: 'The upload that the message was about.' }),
  attempt: attemptSchema.optional().meta({ description: 'The attempt that the message was about.' }),
  command_id: commandIdSchema.optional().meta({ description: 'The command that the message was about.' }),
};

/** `download_file` carries its upload in `upload_config`. */
const uploadCarrier = { upload_id: z.unknown().optional(), attempt: z.unknown().optional() };
const carrierSchema = z.object({
  ...uploadCarrier,
  command_id: z.unknown().optional(),
  upload_config: z.object(uploadCarrier).optional().catch(undefined),
});

/** Of a frame that is too costly to parse: its sender can deceive by this look only about what is its own. */
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

/** What a JSON object is about, even if nothing else of it can be read; null if that cannot be read either. */
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
