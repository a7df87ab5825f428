/**
 * The agent inside another program: build an {@link AgentConfig}, make an {@link AgentApp} of it, `start()` it, and
 * `close()` it in the end. What a machine's owner allows is in the configuration, and nowhere else.
 */
export { AgentApp, type AppOptions } from './app.ts';
export { type AgentConfig, readConfig, UsageError } from './config.ts';
export { createLog, type Log } from './log.ts';
