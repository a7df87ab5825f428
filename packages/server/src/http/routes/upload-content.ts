import { z } from 'zod';
import { problems, uploadParams, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';

/** `GET /uploads/{upload_id}/content` */
export const uploadContent: Routes = (services) => (app, _options, done) => {
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
  done();
};
