import { z } from 'zod';

/** Behaviour of an upload whose file no longer matches its fingerprint. */
export const changePolicySchema = z.enum(['fail', 'restart', 'prefix']).meta({
  description:
    'If the file changes during the upload: `fail` (default) ends it as `file_changed`; `restart` starts over with the new version, a few times; `prefix`, for files that are only appended to, uploads exactly the bytes that existed at the start.',
});
export type ChangePolicy = z.infer<typeof changePolicySchema>;
