import {
  DEAD_AFTER_MS,
  EMPTY_OBJECT_CAPABILITY,
  HEARTBEAT_INTERVAL_MS,
  type Hello,
  PROGRESS_INTERVAL_MS,
  LIST_PAGES_CAPABILITY,
  RESUME_CAPABILITY,
  UPLOAD_LIMITS_CAPABILITY,
  type Welcome,
  closeCodes,
} from '@backhaul/protocol';
import type { ClientDescription } from '../clients/client.ts';
import { BEGUN_ELSEWHERE } from '../uploads/dispatcher.ts';
import { hostIdOf } from '../sessions/shared-tokens.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import { endSession } from '../sessions/end-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { type Upload, isRunning } from '../uploads/upload.ts';

type Verdict = Welcome['uploads'][number];

/**
 * Opens a session: gives it its epoch, brings the transfers that the agent still runs together with their
 * uploads, and puts back into the queue those it has lost. From here on only this session moves the client's uploads.
 *
 * @throws what the store throws; then the session is over, and the connection is to be closed.
 * @returns undefined if a newer session of this client was faster; then the connection is to be closed.
 */
export async function hello(
  context: TransferContext,
  connection: Pick<AgentSession, 'clientId' | 'sessionId' | 'token'> & {
    readonly serverVersion: string;
    readonly nodeId: string;
    /** Unset in doubles that have no network. */
    readonly remoteAddress?: string;
    readonly send: AgentSession['send'];
    readonly close: AgentSession['close'];
  },
  message: Hello,
): Promise<AgentSession | undefined> {
  const { clientId, sessionId } = connection;
  const { epoch } = await context.store.openSession({
    clientId,
    sessionId,
    nodeId: connection.nodeId,
    at: context.clock.now(),
    tokenExpiresAt: connection.token.expiresAt,
    remoteAddress: connection.remoteAddress ?? null,
    description: describe(message),
  });
  const session: AgentSession = {
    clientId,
    sessionId,
    epoch,
    token: connection.token,
    hostId: hostIdOf(message.host),
    maxUploads: message.limits.max_uploads,
    canResume: message.capabilities.includes(RESUME_CAPABILITY),
    takesLimits: message.capabilities.includes(UPLOAD_LIMITS_CAPABILITY),
    listsPages: message.capabilities.includes(LIST_PAGES_CAPABILITY),
    leavesEmpty: message.capabilities.includes(EMPTY_OBJECT_CAPABILITY),
    send: connection.send,
    close: connection.close,
  };
  if (!context.sessions.add(session)) {
    session.close(closeCodes.replaced, 'a newer connection of this client_id took over');
    return undefined;
  }
  context.sharedTokens.connected(clientId, session.hostId);
  let verdicts: Verdict[];
  try {
    // It may have been blocked since the upgrade. From here on a block finds the session.
    if ((await context.store.getBlock(clientId)) !== undefined) {
      await giveUp(context, session);
      session.close(closeCodes.clientBlocked, 'this client was blocked by an operator');
      return undefined;
    }
    verdicts = await reconcile(context, session, message.running);
  } catch (error) {
    await giveUp(context, session);
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
    uploads: verdicts,
  });
  context.sessions.welcomed(session);
  context.dispatcher.kick(clientId);
  return session;
}

/** A session that could not begin must not look like one that has; what it had adopted waits for the next. */
async function giveUp(context: TransferContext, session: AgentSession): Promise<void> {
  try {
    await endSession(context, session);
  } catch (error) {
    // The database is away, most likely as it was before; the next hello settles what is left.
    context.log.warn({ clientId: session.clientId, err: error }, 'session that failed to begin not ended');
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
): Promise<Verdict[]> {
  const kept = new Set<string>();
  for (const uploadId of await context.store.listRunningIds(session.clientId)) {
    const isKept = await context.ledger.onNewest(uploadId, async (upload) => {
      if (!isRunning(upload)) return false;
      // A newer session was faster; the upload is its own.
      if (upload.epoch !== null && upload.epoch > session.epoch) return false;
      if (running.some((one) => one.upload_id === uploadId && one.attempt === upload.attempt)) {
        return (await context.ledger.apply(upload, { type: 'adopt', epoch: session.epoch })) !== undefined;
      }
      if (upload.epoch !== session.epoch) await putBack(context, session, upload);
      return false;
    });
    if (isKept === true) kept.add(uploadId);
  }
  return running.map(({ upload_id, attempt }) => ({
    upload_id,
    attempt,
    verdict: kept.has(upload_id) ? ('continue' as const) : ('drop' as const),
  }));
}

/** The agent was restarted and knows nothing of it any more. */
async function putBack(context: TransferContext, session: AgentSession, upload: Upload): Promise<void> {
  const { recovery, sharedTokens } = context;
  if (sharedTokens.isElsewhere(session.clientId, upload.hostId, session.hostId)) {
    await recovery.startOver(upload, { reason: BEGUN_ELSEWHERE });
  } else if (session.canResume) await recovery.interrupt(upload, { reason: 'The agent was restarted.' });
  else await recovery.startOver(upload, { reason: 'The agent was restarted; the file is sent again.' });
}
