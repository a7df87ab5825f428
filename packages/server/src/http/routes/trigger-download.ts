import {
  BackhaulError,
  MAX_WAIT_SECONDS,
  isTerminal,
  triggerRequestSchema,
  uploadRecordSchema,
} from '@backhaul/protocol';
import { z } from 'zod';
import { clientParams, problems, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';
import { toUploadRecord } from '../upload-record.ts';
import { whenClosed } from '../when-closed.ts';

/** `POST /trigger-download/{client_id}` */
export const triggerDownload: Routes = (services) => (app, _options, done) => {
  app.post(
    '/trigger-download/:client_id',
    {
      config: { scope: 'trigger' },
      schema: {
        summary: 'Start a pull',
        description:
          'Durable before the answer. A pull of the same file that has not ended yet is answered instead of a second one, unless `force` is true. With `Prefer: wait=N` the answer waits up to N seconds for the end and is then 200.',
        tags: ['uploads'],
        security: withToken,
        params: clientParams,
        headers: z.object({
          'idempotency-key': z
            .string()
            .min(1)
            .max(255)
            .optional()
            .meta({ description: 'The same key with the same request gives the same upload.' }),
          prefer: z
            .string()
            .max(200)
            .optional()
            .meta({ description: '`wait=N`, N ≤ 300 seconds (RFC 7240).' }),
        }),
        body: triggerRequestSchema.nullish(),
        response: { 200: uploadRecordSchema, 202: uploadRecordSchema, ...problems },
      },
    },
    async (request, reply) => {
      const expiresInSeconds = request.body?.expires_in;
      const waitSeconds = preferredWait(request.headers.prefer);
      const accepted = await services.uploads.trigger({
        clientId: request.params.client_id,
        filePath: request.body?.file_path,
        reason: request.body?.reason,
        expiresInMs: expiresInSeconds === undefined ? undefined : expiresInSeconds * 1000,
        offline: request.body?.offline,
        onChange: request.body?.on_change,
        force: request.body?.force,
        requestedBy: request.operator,
        idempotencyKey: request.headers['idempotency-key'],
      });
      void reply.header('location', `/uploads/${accepted.uploadId}`);
      const upload =
        waitSeconds === 0
          ? accepted
          : await services.uploads.waitUntilEnded(accepted.uploadId, {
              signal: AbortSignal.any([
                AbortSignal.timeout(waitSeconds * 1000),
                services.shutdown,
                whenClosed(reply.raw),
              ]),
            });
      if (waitSeconds > 0) void reply.header('preference-applied', `wait=${waitSeconds}`);
      return reply
        .code(isTerminal(upload.status) && waitSeconds > 0 ? 200 : 202)
        .send(toUploadRecord(upload));
    },
  );
  done();
};

/** @throws BackhaulError `invalid_request` */
function preferredWait(prefer: string | undefined): number {
  const preference = prefer?.split(',').find((part) => /^\s*wait\b/i.test(part));
  if (preference === undefined) return 0;
  const seconds = Number(/^\s*wait\s*=\s*"?(\d{1,6})"?\s*$/i.exec(preference)?.[1]);
  if (Number.isNaN(seconds) || seconds > MAX_WAIT_SECONDS) {
    throw new BackhaulError(
      'invalid_request',
      `Prefer: wait=N takes whole seconds from 0 to ${MAX_WAIT_SECONDS}.`,
    );
  }
  return seconds;
}
