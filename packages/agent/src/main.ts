import { AgentApp } from './app.ts';
import { type AgentConfig, readOwnConfig, UsageError } from './config.ts';
import { createLog } from './log.ts';

/** Exit codes: 0 stopped as asked, 1 an unexpected fault, 2 a mistake in flags or environment. */
export async function main(): Promise<void> {
  const config = configOrExit();
  if (config === null) return;
  // A log that nobody reads any more is no reason to stop uploading.
  process.stderr.on('error', () => {});
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat,
    write: (line) => process.stderr.write(line),
  });
  const app = new AgentApp(config, { log });

  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal }, 'stopping; a second signal stops at once');
    void app.close().then(() => log.info('stopped'));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  await app.start();
}

function configOrExit(): AgentConfig | null {
  try {
    const invocation = readOwnConfig();
    if (invocation.kind === 'run') return invocation.config;
    process.stdout.write(invocation.text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`backhaul-agent: ${error.message}\n`);
    process.exitCode = 2;
  }
  return null;
}
