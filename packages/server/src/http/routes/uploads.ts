import {
  BackhaulError,
  uploadListQuerySchema,
  uploadListSchema,
  uploadRecordSchema,
} from '@backhaul/protocol';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { problems, uploadParams, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';
import { toUploadRecord } from '../upload-record.ts';
import { whenClosed } from '../when-closed.ts';

const cursorSchema = z.tuple([z.int(), z.string()]);

/** `GET /uploads`, `GET` and `DELETE /uploads/{upload_id}`, and what is done to one upload. */
export const uploads: Routes = (services) => (app, _options, done) => {
  app.get(
    '/uploads',
    {
      config: { scope: 'read' },
      schema: {
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
        // One more than asked for tells whether there is a next page.
        limit: limit + 1,
      });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        uploads: page.map(toUploadRecord),
        next_cursor: last === undefined ? null : encodeCursor([last.createdAt, last.uploadId]),
      };
    },
  );

  app.get(
    '/uploads/:upload_id',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'One upload',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 200: uploadRecordSchema, ...problems },
      },
    },
    async (request) => toUploadRecord(await services.uploads.get(request.params.upload_id)),
  );

  app.delete(
    '/uploads/:upload_id',
    {
      config: { scope: 'admin' },
      schema: {
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
      await services.uploads.remove(request.params.upload_id, request.operator, {
        withObject: request.query.object === 'true',
      });
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/uploads/:upload_id/cancel',
    {
      config: { scope: 'trigger' },
      schema: {
        summary: 'Cancel an upload',
        description: 'While `completing`, waits for the finding; 409 if the upload completed.',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 200: uploadRecordSchema, ...problems },
      },
    },
    async (request, reply) => {
      const signal = AbortSignal.any([services.shutdown, whenClosed(reply.raw)]);
      try {
        return toUploadRecord(
          await services.uploads.cancel(request.params.upload_id, request.operator, { signal }),
        );
      } catch (error) {
        throw services.shutdown.aborted ? new BackhaulError('shutting_down') : error;
      }
    },
  );

  app.post(
    '/uploads/:upload_id/retry',
    {
      config: { scope: 'trigger' },
      schema: {
        summary: 'Try a failed, cancelled or expired upload again',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 200: uploadRecordSchema, ...problems },
      },
    },
    async (request) =>
      toUploadRecord(await services.uploads.retry(request.params.upload_id, request.operator)),
  );
  done();
};
