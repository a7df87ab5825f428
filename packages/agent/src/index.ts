/**
 * Runs the agent inside another program: create an {@link AgentApp} from an {@link AgentConfig}, `start()` it, and
 * `close()` it at the end. Only the configuration determines what the agent is allowed to do.
 */
export { AgentApp, type AppOptions } from './app.ts';
export { type AgentConfig, readConfig } from './config.ts';
export { UsageError } from './flags.ts';
export { createLog, type Log } from './log.ts';
