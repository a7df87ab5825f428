import {
  closeCodes,
  DEAD_AFTER_MS,
  HEARTBEAT_INTERVAL_MS,
  type Hello,
  PROGRESS_INTERVAL_MS,
  RESUME_CAPABILITY,
  type Welcome,
} from '@backhaul/protocol';
import { isRunning, type Upload } from '../../uploads/upload.ts';
import type { ClientDescription } from '../client.ts';
import { AGENT_DISCONNECTED, type AgentSession } from '../session.ts';
import { hostIdOf, STARTED_ELSEWHERE } from '../shared-tokens.ts';
import type { TransferContext } from './context.ts';

type Decision = Welcome['uploads'][number];

/**
 * Opens a session: assigns its epoch, reconciles the transfers that the agent still runs with their uploads, and
 * requeues the uploads it has lost. From here on only this session advances the client's uploads.
 *
 * @throws the store's errors; the session is closed then, and the caller must close the connection.
 * @returns undefined if a newer session of this client was faster, or the token was replaced; the caller must close the
 *   connection.
 */
export async function hello(
  context: TransferContext,
  connection: Pick<AgentSession, 'clientId' | 'sessionId' | 'token'> & {
    readonly serverVersion: string;
    readonly nodeId: string;
    /** Unset in fakes without a network. */
    readonly remoteAddress?: string;
    readonly send: AgentSession['send'];
    readonly close: AgentSession['close'];
  },
  message: Hello,
): Promise<AgentSession | undefined> {
  const { clientId, sessionId, token } = connection;
  const opened = await context.store.openSession({
    clientId,
    sessionId,
    nodeId: connection.nodeId,
    at: context.clock.now(),
    token,
    remoteAddress: connection.remoteAddress ?? null,
    description: describe(message),
  });
  if (opened === undefined) {
    connection.close(closeCodes.tokenExpired, 'the token was replaced by its renewed token');
    return undefined;
  }
  const { epoch } = opened;
  const session: AgentSession = {
    clientId,
    sessionId,
    epoch,
    token,
    hostId: hostIdOf(message.host),
    maxUploads: message.limits.max_uploads,
    agentVersion: message.agent_version,
    capabilities: new Set(message.capabilities),
    send: connection.send,
    close: connection.close,
  };
  if (!context.sessions.add(session)) {
    session.close(closeCodes.replaced, 'a newer connection of this client_id took over');
    return undefined;
  }
  context.sharedTokens.connected(clientId, session.hostId);
  let decisions: Decision[];
  try {
    // It may have been blocked since the upgrade. From here on a block finds the session.
    if ((await context.store.getBlock(clientId)) !== undefined) {
      await closeFailedHello(context, session);
      session.close(closeCodes.clientBlocked, 'this client was blocked by an operator');
      return undefined;
    }
    decisions = await reconcile(context, session, message.running);
  } catch (error) {
    await closeFailedHello(context, session);
    throw error;
  }
  session.send({
    action: 'welcome',
    server_version: connection.serverVersion,
    session_id: sessionId,
    epoch,
    heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
    dead_after_ms: DEAD_AFTER_MS,
    progress_interval_ms: PROGRESS_INTERVAL_MS,
    uploads: decisions,
  });
  context.sessions.welcomed(session);
  context.dispatcher.schedule(clientId);
  return session;
}

/** A failed hello must not leave a session behind; uploads it had adopted wait for the next session. */
async function closeFailedHello(context: TransferContext, session: AgentSession): Promise<void> {
  try {
    await endSession(context, session);
  } catch (error) {
    // The database is most likely still unreachable; the next hello cleans up.
    context.log.warn(
      { clientId: session.clientId, err: error },
      'failed to clean up the session after a failed hello',
    );
  }
}

function describe(message: Hello): ClientDescription {
  return {
    agentVersion: message.agent_version,
    platform: { ...message.platform, hostname: message.platform.hostname ?? null },
    capabilities: message.capabilities,
    labels: message.labels,
    defaultFilePath: message.default_file_path,
  };
}

async function reconcile(
  context: TransferContext,
  session: AgentSession,
  running: Hello['running'],
): Promise<Decision[]> {
  const continued = new Set<string>();
  for (const uploadId of await context.store.listRunningIds(session.clientId)) {
    const isContinued = await context.ledger.onNewest(uploadId, async (upload) => {
      if (!isRunning(upload)) return false;
      // A newer session was faster; the upload belongs to it.
      if (upload.epoch !== null && upload.epoch > session.epoch) return false;
      if (running.some((one) => one.upload_id === uploadId && one.attempt === upload.attempt)) {
        return (await context.ledger.apply(upload, { type: 'adopt', epoch: session.epoch })) !== undefined;
      }
      if (upload.epoch !== session.epoch) await requeue(context, session, upload);
      return false;
    });
    if (isContinued === true) continued.add(uploadId);
  }
  return running.map(({ upload_id, attempt }) => ({
    upload_id,
    attempt,
    verdict: continued.has(upload_id) ? ('continue' as const) : ('drop' as const),
  }));
}

/** The agent was restarted and has lost the upload. */
async function requeue(context: TransferContext, session: AgentSession, upload: Upload): Promise<void> {
  const { recovery, sharedTokens } = context;
  if (sharedTokens.isElsewhere(session.clientId, upload.hostId, session.hostId)) {
    await recovery.startOver(upload, { reason: STARTED_ELSEWHERE });
    return;
  }
  const canResume = session.capabilities.has(RESUME_CAPABILITY);
  if (canResume) await recovery.interrupt(upload, { reason: 'The agent was restarted.' });
  else await recovery.startOver(upload, { reason: 'The agent was restarted; the file is sent again.' });
}

/** Stall reason of uploads whose client is blocked. */
const CLIENT_BLOCKED = 'The client is blocked by an operator.';

/**
 * Called when a connection has closed. Its uploads wait for the agent's return; transfers continue without a
 * connection. If it throws, call it again: it completes the rest.
 */
export async function endSession(context: TransferContext, session: AgentSession): Promise<void> {
  context.commands.sessionEnded(session);
  context.progress.sessionEnded(session);
  context.sessions.remove(session);
  await context.store.closeSession(session.clientId, session.epoch, context.clock.now());
  // The successor's hello has handled them, or is about to.
  if (context.sessions.newest(session.clientId) !== undefined) return;
  const running = await context.store.listRunningIds(session.clientId);
  if (running.length === 0) return;
  const isBlocked = (await context.store.getBlock(session.clientId)) !== undefined;
  const reason = isBlocked ? CLIENT_BLOCKED : AGENT_DISCONNECTED;
  for (const uploadId of running) {
    await context.ledger.onNewest(uploadId, async (upload) => {
      if (upload.epoch !== session.epoch || !isRunning(upload)) return;
      await context.ledger.apply(upload, { type: 'stall', reason, nextRetryAt: null });
    });
  }
}
