import type { IncomingHttpHeaders } from 'node:http';
import {
  objectVerificationSchema,
  uploadListQuerySchema,
  uploadListSchema,
  uploadRecordSchema,
} from '@backhaul/protocol';
import { z } from 'zod';
import { decodeCursor, pageOf } from '../pagination.ts';
import { describeUpload, describeUploads } from '../records.ts';
import {
  problems,
  type Route,
  type RouteApp,
  type Services,
  uploadParams,
  whenClosed,
  withToken,
} from '../route.ts';

/** Sent by the client of release 0.1.0, which treats any response to a cancel except 200 as a failure. */
const OLD_CLIENT_ACCEPT = 'application/json, application/problem+json';

const cursorSchema = z.tuple([z.int(), z.string()]);

export const uploadRoutes: readonly Route[] = [
  listUploads,
  getUpload,
  deleteUpload,
  cancelUpload,
  retryUpload,
  getUploadContent,
  verifyUpload,
];

/** `GET /uploads` */
function listUploads(app: RouteApp, services: Services): void {
  app.get(
    '/uploads',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listUploads',
        summary: 'List uploads, newest first',
        tags: ['uploads'],
        security: withToken,
        querystring: uploadListQuerySchema,
        response: { 200: uploadListSchema, ...problems },
      },
    },
    async (request) => {
      const { client_id, status, limit, cursor } = request.query;
      const position = cursor === undefined ? undefined : decodeCursor(cursor, cursorSchema);
      const found = await services.uploads.list({
        clientId: client_id,
        status,
        after: position && { createdAt: position[0], uploadId: position[1] },
        limit: limit + 1,
      });
      const { page, nextCursor } = pageOf(found, limit, (last) => [last.createdAt, last.uploadId]);
      return {
        uploads: await describeUploads(services, page),
        next_cursor: nextCursor,
      };
    },
  );
}

/** `GET /uploads/{upload_id}` */
function getUpload(app: RouteApp, services: Services): void {
  app.get(
    '/uploads/:upload_id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getUpload',
        summary: 'One upload',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 200: uploadRecordSchema, ...problems },
      },
    },
    async (request) => describeUpload(services, await services.uploads.get(request.params.upload_id)),
  );
}

/** `DELETE /uploads/{upload_id}` */
function deleteUpload(app: RouteApp, services: Services): void {
  app.delete(
    '/uploads/:upload_id',
    {
      config: { scope: 'admin', audit: 'upload.delete' },
      schema: {
        operationId: 'deleteUpload',
        summary: 'Remove an ended upload',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        querystring: z.strictObject({
          object: z
            .enum(['true', 'false'])
            .default('false')
            .meta({ description: '`true` deletes the object as well.' }),
        }),
        response: { 204: z.null(), ...problems },
      },
    },
    async (request, reply) => {
      const withObject = request.query.object === 'true';
      request.auditDetail = { withObject };
      await services.uploads.remove(request.params.upload_id, request.operator, {
        withObject,
        from: services.addresses.of(request.raw),
      });
      return reply.code(204).send(null);
    },
  );
}

/** `POST /uploads/{upload_id}/cancel` */
function cancelUpload(app: RouteApp, services: Services): void {
  app.post(
    '/uploads/:upload_id/cancel',
    {
      config: { scope: 'trigger', audit: 'upload.cancel' },
      schema: {
        operationId: 'cancelUpload',
        summary: 'Cancel an upload',
        description:
          'While `completing`, waits up to 5 s for the outcome; 409 if the upload completed. If the object store has not ' +
          'responded by then, 202: the cancel stays pending, as `message` says, and `stalled_reason` has the reason. The ' +
          'upload ends as `cancelled` once the store says that it is not complete, otherwise as `completed`. No trigger ' +
          'joins it meanwhile.',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 200: uploadRecordSchema, 202: uploadRecordSchema, ...problems },
      },
    },
    async (request, reply) => {
      const signal = AbortSignal.any([services.shutdown, whenClosed(reply.raw)]);
      const from = services.addresses.of(request.raw);
      const upload = await services.uploads.cancel(request.params.upload_id, request.operator, {
        signal,
        from,
      });
      const isPending = upload.status === 'completing';
      return reply
        .code(isPending && knowsAccepted(request.headers) ? 202 : 200)
        .send(await describeUpload(services, upload));
    },
  );
}

function knowsAccepted({ accept, prefer }: IncomingHttpHeaders): boolean {
  return accept !== OLD_CLIENT_ACCEPT || prefer === 'respond-async';
}

/** `POST /uploads/{upload_id}/retry` */
function retryUpload(app: RouteApp, services: Services): void {
  app.post(
    '/uploads/:upload_id/retry',
    {
      config: { scope: 'trigger', audit: 'upload.retry' },
      schema: {
        operationId: 'retryUpload',
        summary: 'Retry a failed, cancelled or expired upload',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 200: uploadRecordSchema, ...problems },
      },
    },
    async (request) => {
      const from = services.addresses.of(request.raw);
      const upload = await services.uploads.retry(request.params.upload_id, request.operator, { from });
      return describeUpload(services, upload);
    },
  );
}

/** `GET /uploads/{upload_id}/content` */
function getUploadContent(app: RouteApp, services: Services): void {
  app.get(
    '/uploads/:upload_id/content',
    {
      config: { scope: 'content', audit: 'upload.content' },
      schema: {
        operationId: 'getUploadContent',
        summary: 'Redirect to the finished object',
        description:
          'A presigned GET, straight from the object store. Send no token there. In a versioned bucket it returns ' +
          'the recorded version, even if the key no longer shows it.',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 302: z.null(), ...problems },
      },
    },
    async (request, reply) => {
      const url = await services.uploads.contentUrl(request.params.upload_id, request.operator, {
        from: services.addresses.of(request.raw),
      });
      // The URL is a secret as long as it is valid.
      return reply.header('cache-control', 'no-store').redirect(url, 302);
    },
  );
}

/** `GET /uploads/{upload_id}/verification` */
function verifyUpload(app: RouteApp, services: Services): void {
  app.get(
    '/uploads/:upload_id/verification',
    {
      config: { scope: 'read', audit: 'upload.verify' },
      schema: {
        operationId: 'verifyUpload',
        summary: 'Compare the stored object with the record',
        description:
          'Queries the object store for the object (HEAD) and compares it with the record; in a versioned bucket the ' +
          'recorded version, even if the key no longer shows it. No bytes are read: the comparison trusts the ' +
          'attributes that the store returns.',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 200: objectVerificationSchema, ...problems },
      },
    },
    async (request, reply) => {
      const report = await services.verifier.verify(request.params.upload_id, request.operator, {
        from: services.addresses.of(request.raw),
      });
      // Valid only at this moment.
      void reply.header('cache-control', 'no-store');
      return {
        upload_id: report.uploadId,
        verdict: report.verdict,
        verification: report.verification,
        checks: report.checks,
        key_state: report.keyState,
        checked_at: new Date(report.checkedAt).toISOString(),
      };
    },
  );
}
