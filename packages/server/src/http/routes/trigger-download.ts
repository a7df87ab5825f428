import {
  BackhaulError,
  MAX_WAIT_SECONDS,
  isTerminal,
  triggerRequestSchema,
  uploadRecordSchema,
} from '@backhaul/protocol';
import { z } from 'zod';
import { clientParams, problems, type RouteApp, type Services, whenClosed, withToken } from '../route.ts';
import { describeUpload } from '../records.ts';

/** `POST /trigger-download/{client_id}` */
export function triggerDownload(app: RouteApp, services: Services): void {
  app.post(
    '/trigger-download/:client_id',
    {
      config: { scope: 'trigger', audit: 'upload.trigger' },
      schema: {
        operationId: 'triggerDownload',
        summary: 'Start an upload',
        description:
          'Stored durably before the response. An unfinished upload of the same file with the same `on_change` and `limits` is returned instead of a second one, unless `force` is true. With `Prefer: wait=N` the response waits up to N seconds for the end and is then 200; a server with too many waiting requests responds 202 immediately. Through a reverse proxy it waits for PROXY_WAIT_SECONDS (50) at most, as `Preference-Applied` says; repeat the request with the same `Idempotency-Key` to continue waiting.',
        tags: ['uploads'],
        security: withToken,
        params: clientParams,
        headers: z.object({
          'idempotency-key': z
            .string()
            .min(1)
            .max(255)
            .optional()
            .meta({ description: 'Repeating the request with the same key does not start a second upload.' }),
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
      request.auditDetail = {
        filePath: request.body?.file_path ?? null,
        reason: request.body?.reason ?? null,
      };
      const expiresInSeconds = request.body?.expires_in;
      const preferred = preferredWait(request.headers.prefer);
      // A proxy would time out, and the caller would not even learn of the upload.
      const waitSeconds = services.addresses.cameThroughProxy(request.raw)
        ? Math.min(preferred, services.proxyWaitSeconds)
        : preferred;
      const accepted = await services.uploads.trigger({
        clientId: request.params.client_id,
        filePath: request.body?.file_path,
        reason: request.body?.reason,
        expiresInMs: expiresInSeconds === undefined ? undefined : expiresInSeconds * 1000,
        offline: request.body?.offline,
        onChange: request.body?.on_change,
        limits: request.body?.limits,
        force: request.body?.force,
        requestedBy: request.operator,
        requestedFrom: services.addresses.of(request.raw),
        idempotencyKey: request.headers['idempotency-key'],
      });
      void reply.header('location', `/uploads/${accepted.uploadId}`);
      // A server may decline a preference (RFC 7240, section 2); the trigger is accepted either way.
      using held = waitSeconds === 0 ? undefined : services.held.tryHold(request.operator);
      const upload =
        held === undefined
          ? accepted
          : await services.uploads.waitUntilEnded(accepted.uploadId, {
              signal: AbortSignal.any([
                AbortSignal.timeout(waitSeconds * 1000),
                services.shutdown,
                whenClosed(reply.raw),
              ]),
            });
      if (held !== undefined) void reply.header('preference-applied', `wait=${waitSeconds}`);
      return reply
        .code(isTerminal(upload.status) && held !== undefined ? 200 : 202)
        .send(await describeUpload(services, upload));
    },
  );
}

/** @throws BackhaulError `invalid_request` */
function preferredWait(prefer: string | undefined): number {
  const preference = prefer?.split(',').find((part) => /^\s*wait\b/i.test(part));
  if (preference === undefined) return 0;
  const seconds = Number(/^\s*wait\s*=\s*"?(\d{1,6})"?\s*$/i.exec(preference)?.[1]);
  if (Number.isNaN(seconds) || seconds > MAX_WAIT_SECONDS) {
    throw new BackhaulError(
      'invalid_request',
      `Prefer: wait=N accepts whole seconds from 0 to ${MAX_WAIT_SECONDS}.`,
    );
  }
  return seconds;
}
