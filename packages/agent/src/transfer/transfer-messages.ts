import type { AgentMessageInput } from '@backhaul/protocol';

export type PreparedInput = Extract<AgentMessageInput, { status: 'prepared' }>;
export type ResumedInput = Extract<AgentMessageInput, { status: 'resumed' }>;
export type PartUploadedInput = Extract<AgentMessageInput, { status: 'part_uploaded' }>;
/** The final message of an attempt. */
export type FinalInput = Extract<AgentMessageInput, { status: 'completed' | 'failed' }>;
