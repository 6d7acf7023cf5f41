"""Writes tables whole or not at all."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from coordinator.config import Training
from coordinator.errors import ConfigError

# file -> columns; the first five are the outside interface, the others the figures' data
COLUMNS: Final[dict[str, str]] = {
    "comparison.csv": "task,strategy,seed,site,metric,value,ci_low,ci_high,n",
    "differences.csv": "task,strategy,reference,metric,difference,ci_low,ci_high,margin,verdict",
    "costs.csv": "task,strategy,seed,party,measure,value,unit",
    "privacy.csv": "task,strategy,seed,attack,target,measure,value,baseline,ci_low,ci_high,n,threat_model",
    "figures/attacks.csv": "attack,reads,source,validation,holds_for,but_for",
    "figures/private.csv": "task,strategy,reference,asset,threat_model,measure,attack,value,baseline,low,"
    "high,validated,reference_attack,reference_value,reference_baseline,reference_low,reference_high,"
    "reference_validated,verdict",
    "figures/frontier.csv": "task,strategy,asset,threat_model,measure,attack,knowing,validated,value,"
    "baseline,beyond,low,high,difference,ci_low,ci_high,bytes,flops,on_frontier",
    "figures/gallery.csv": "task,strategy,seed,attack,which,psnr,original,reconstruction,baseline",
    "variants.csv": "task,strategy,preset,algorithm,rule,labels,site_parts,back,turn,order,interleave,"
    "optimizer_state,proximal_mu,server_rate,batches,participation,join,leave,site_weights,adapt,secure_aggregation,"
    "privacy,cut,model,"
    f"{','.join(Training.model_fields)},identical_to",
    "figures/summary.csv": "task,strategy,site,metric,value,ci_low,ci_high,seed_low,seed_high,n,seeds",
    "figures/subgroups.csv": "task,strategy,variable,group,n,events,value,ci_low,ci_high,hidden,reason",
    "figures/classes.csv": "task,strategy,class,n,records,value,ci_low,ci_high,hidden,reason",
    "figures/effects.csv": "task,strategy,reference,metric,difference,se_patients,se_seeds,freedom,"
    "low_90,high_90,low_95,high_95,seeds",
    "figures/spent.csv": "task,strategy,party,measure,value,unit,seeds",
    "figures/sweeps.csv": "task,kind,family,of,strategy,label,place,bytes,flops,seconds",
    "figures/reasons.csv": "task,strategy,seed,site,metric,reason",
    "figures/roc.csv": "task,strategy,seed,false_positive_rate,true_positive_rate",
    "figures/precision_recall.csv": "task,strategy,recall,precision",
    "figures/decision.csv": "task,strategy,threshold,n,net_benefit,treat_all",
    "figures/power.csv": "task,strategy,reference,n,events,margin,planned,detectable,chance",
    "figures/secondary.csv": "task,strategy,reference,metric,difference,ci_low,ci_high,p,p_holm",
    "figures/target.csv": "task,strategy,seed,measure,target,reached,rounds,bytes,seconds,flops",
    "figures/network.csv": "task,strategy,here,predicted,seeds",
    "figures/per_site.csv": "task,strategy,reference,difference,low_90,high_90,pooled,binned,bound,bins",
    "figures/units.csv": "task,strategy,measure,value,per_epoch,per_record,unit,against,ratio",
    "figures/calibration.csv": "task,strategy,bin,low,high,n,mean_score,observed",
    "figures/learning.csv": "task,strategy,seed,site,learning_rate,round,train_loss,validation_loss,"
    "validation_auroc,validation_pairs,bytes,seconds,best",
    "figures/chosen.csv": "task,strategy,seed,site,learning_rate,round,validation_loss,tried",
    "figures/cohort.csv": "task,site,title,source,modalities,features,records,patients,events,event_share,"
    "development_records,development_events,test_records,test_patients,test_events,"
    "auxiliary_records,auxiliary_events,quarantined,age_mean,female_share",
    "figures/quarantine.csv": "task,site,reason,count,share",
    "figures/outside.csv": "task,site,variable,count",
    "figures/table1.csv": "task,site,variable,kind,level,n,missing,mean,std,share,patients,hidden",
    "figures/shift.csv": "task,variable,kind,measure,level,site,difference",
    "figures/suppressed.csv": "task,seed,site,cells",
    "figures/uncounted.csv": "task,seed,variable,kind,n,uncounted",
    "figures/warnings.csv": "task,site,warning",
    "figures/interruptions.csv": "task,strategy,seed,number,time,back,commit",
}


def write_tables(folder: Path, tables: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write each table under its name in the folder; None becomes an empty cell.

    Raises:
        ConfigError: the folder cannot be written.
    """
    for name, rows in tables.items():
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS[name].split(","), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / name, text.getvalue())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, indented and with its keys sorted."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write under another name, then rename.

    Raises:
        ConfigError: the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.rename(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); check the folder and its rights"
        ) from None
