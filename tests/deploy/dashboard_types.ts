// Grafana's own types, as JSON has them: an enum is one of its values. tests/deploy/test_dashboards.py appends
// each dashboard as a value of `Json<Dashboard>`, and each panel's options as a value of their type.
import type { Dashboard } from "@grafana/schema";
import type * as bargauge from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

type Json<T> = T extends string ? `${T}` : T extends object ? { [Name in keyof T]: Json<T[Name]> } : T;
