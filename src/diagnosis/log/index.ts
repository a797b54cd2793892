// SPDX-License-Identifier: Apache-2.0
export { changeLogLevels, type LogLevels, readLogLevels } from "./log-levels.ts";
export { renderChanged, renderLevels } from "./render-levels.ts";
