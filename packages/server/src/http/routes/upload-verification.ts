import { objectVerificationSchema } from '@backhaul/protocol';
import { problems, uploadParams, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';

/** `GET /uploads/{upload_id}/verification` */
export const uploadVerification: Routes = (services) => (app, _options, done) => {
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
  done();
};
