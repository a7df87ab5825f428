import { clientIdSchema, problemSchema, uploadIdSchema } from '@backhaul/protocol';
import { z } from 'zod';

export const clientParams = z.object({ client_id: clientIdSchema });
export const uploadParams = z.object({ upload_id: uploadIdSchema });

/** OpenAPI: every error of every route has this shape. */
export const problems = { '4xx': problemSchema, '5xx': problemSchema } as const;

/** OpenAPI: the route needs no token. */
export const openToAll = [{}];

/** OpenAPI: the route needs a token. */
export const withToken = [{ bearer: [] }];
