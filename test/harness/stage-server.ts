import type { S3Target } from './object-store.ts';
import { Program, type ProgramOptions, logged } from './program.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';
import type { TokenSigner } from './tokens.ts';

/** Returns the settings of a stage's server. */
export function serverEnvironment(
  s3: S3Target,
  tokens: TokenSigner,
  directory: TemporaryDirectory,
): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_REGION: 'us-east-1',
    S3_BUCKET_NAME: s3.bucket,
    S3_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    JWT_SECRET: tokens.secret,
    DATABASE_URL: `sqlite:${directory.join('backhaul.sqlite')}`,
    HOST: '127.0.0.1',
  };
}

/** The server first probes the store, with retries on failure, and `--setup-bucket` tries each change. */
const START_DEADLINE_MS = 90_000;

/** Starts a server and waits until it listens. @param port `0` for any free port. */
export async function startServer(
  port: string,
  options: Pick<ProgramOptions, 'args' | 'env' | 'cwd' | 'compiled' | 'installedIn' | 'through'>,
): Promise<{ server: Program; url: string }> {
  const args = ['--port', port, ...(options.args ?? [])];
  const server = new Program('backhaul-server', { ...options, args });
  try {
    const { url } = await server.line(logged('listening'), { deadlineMs: START_DEADLINE_MS });
    return { server, url: String(url) };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
