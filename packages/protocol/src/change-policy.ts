import { z } from 'zod';

/** What becomes of a pull whose file is no longer the version that was fingerprinted. */
export const changePolicySchema = z.enum(['fail', 'restart', 'prefix']).meta({
  description:
    'When the file changes during the pull: `fail` (default) ends it as `file_changed`; `restart` begins again with the new version, a few times; `prefix`, for files that are only appended to, delivers exactly the bytes that were there at the start.',
});
export type ChangePolicy = z.infer<typeof changePolicySchema>;
