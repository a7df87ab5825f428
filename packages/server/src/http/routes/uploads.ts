import type { IncomingHttpHeaders } from 'node:http';
import { uploadListQuerySchema, uploadListSchema, uploadRecordSchema } from '@backhaul/protocol';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { problems, uploadParams, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';
import { describeUpload, describeUploads } from '../upload-record.ts';
import { whenClosed } from '../when-closed.ts';

/** Sent by the client of release 0.1.0, which treats any response to a cancel except 200 as a failure. */
const OLD_CLIENT_ACCEPT = 'application/json, application/problem+json';

function knowsAccepted({ accept, prefer }: IncomingHttpHeaders): boolean {
  return accept !== OLD_CLIENT_ACCEPT || prefer === 'respond-async';
}

const cursorSchema = z.tuple([z.int(), z.string()]);

/** `GET /uploads`, `GET` and `DELETE /uploads/{upload_id}`, and actions on one upload. */
export const uploads: Routes = (services) => (app, _options, done) => {
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
        // One more than requested shows whether there is a next page.
        limit: limit + 1,
      });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        uploads: await describeUploads(services, page),
        next_cursor: last === undefined ? null : encodeCursor([last.createdAt, last.uploadId]),
      };
    },
  );

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
  done();
};
