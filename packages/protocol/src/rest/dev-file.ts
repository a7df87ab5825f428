import { z } from 'zod';

/** Written by `backhaul-server --dev` (mode 0600); used by command line and agents in the same working directory. */
export const DEV_FILE = '.backhaul/dev.json';

export const devFileSchema = z.object({
  server_url: z.url(),
  operator_token: z.string(),
  jwt_secret: z.string(),
  pid: z.int(),
});
export type DevFile = z.infer<typeof devFileSchema>;
