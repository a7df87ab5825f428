import { z } from 'zod';
import { cancelUploadSchema } from './cancel-upload.ts';
import { downloadFileSchema } from './download-file.ts';
import { healthCheckSchema } from './health-check.ts';
import { listDirectorySchema } from './list-directory.ts';
import { partUrlsSchema } from './part-urls.ts';
import { prepareUploadSchema } from './prepare-upload.ts';
import { renewTokenSchema } from './renew-token.ts';
import { serverErrorSchema } from './server-error.ts';
import { welcomeSchema } from './welcome.ts';

/** All messages from the server to an agent, distinguished by `action`. */
export const serverMessageSchema = z.discriminatedUnion('action', [
  welcomeSchema,
  prepareUploadSchema,
  downloadFileSchema,
  partUrlsSchema,
  cancelUploadSchema,
  healthCheckSchema,
  listDirectorySchema,
  renewTokenSchema,
  serverErrorSchema,
]);
export type ServerMessage = z.infer<typeof serverMessageSchema>;
/** A message before parsing: fields with defaults are optional. */
export type ServerMessageInput = z.input<typeof serverMessageSchema>;

export * from './cancel-upload.ts';
export * from './download-file.ts';
export * from './health-check.ts';
export * from './list-directory.ts';
export * from './part-urls.ts';
export * from './prepare-upload.ts';
export * from './presigned-part.ts';
export * from './renew-token.ts';
export * from './resume-state.ts';
export * from './server-error.ts';
export * from './welcome.ts';
