package corrections

import (
	"regexp"
	"slices"
	"strings"

	"llamaxr/finetune/metrics/wordnet"
	"llamaxr/reporting/labeler"
)

// usual are words that reports may write with a capital inside a sentence: signs and operations that are named after people, headings, parts of the chest.
// With WordNet's they are the words that a kept report may hold: what is none of them may be a name.
var usual = func() map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(`kerley swan ganz chilaiditi bochdalek morgagni hampton westermark fleischner golden pancoast ghon ranke dobhoff hickman port mallory weiss monteggia
		hounsfield cobb harrington schmorl scheuermann hodgkin kartagener marfan eisenmenger fallot ebstein takayasu wegener crohn addison paget hill sachs bankart colles galeazzi hangman
		kaposi langerhans goodpasture caplan hamman rich swyer james macleod poland looser monod raynaud sjogren still valsalva broviac groshong greenfield
		mediport blakemore sengstaken impella covid english american trendelenburg fowler roentgen doppler gram
		i ii iii iv v vi vii viii ix x findings finding impression impressions conclusion opinion comparison indication technique history recommendation clinical chest lungs lung heart pleura pleural
		mediastinum mediastinal bones bone bony osseous osseus soft tissues tissue right left upper middle lower lobe lobes base bases apex apical hilum hilar hila cardiac cardiomediastinal silhouette
		airway airways trachea aorta aortic diaphragm abdomen spine ribs rib upright portable supine lateral frontal view views no not there normal stable mild moderate severe small large acute chronic
		the a an and or of in with without is are none other lines tubes line tube devices device xxxx pulmonary vascular vascularity sternal wires intact resident attending radiologist patient physician`) {
		out[w] = true
	}
	return out
}()

// further are words that WordNet does not have: the small ones, abbreviations, and those of radiology that are not made of known parts.
var further = func() map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(`for to this that these those which who whose whom from versus vs than could would should might must shall cannot can't don't doesn't isn't aren't wasn't weren't there's it's they're if since until unless
		whether although though while whereas because it its he she we you they his her our your their my me us them into onto upon towards toward through throughout within between among amongst against beneath beside besides during
		per via and/or nor neither either both each every any some such what when where how why as at by on off up down out over under be been being was were am do does did has have had having will may can
		larger largest smaller smallest greater greatest lower lowest higher highest less least more most better best worse worst older newer longer wider thicker denser clearer earlier later closer further
		st nd rd th etc eg ie ct mr mri pet cta svc ivc ap pa rll lll rul lul rml picc ij ekg ecg kub orif vp cabg icd aicd lvad ecmo copd chf ards ild uip tb gi gu cns cva dvt pe pcp icu er ed or ng og et ett ngt peg tavr tavi evar avn ggo hrct cxr xr us
		iv im po mm cm ml cc kv kvp mas hu cp lv rv la ra lad rca pa ias ph fio hiv aids bcg np cath mac cmv rsv sars hd vats cpap bipap peep id wnl nos rt lt l r c t s n p d
		vasculature lingula lingular lucency lucencies lucent costophrenic hemidiaphragm hemidiaphragms sternotomy spondylosis ectatic ectasia redemonstrated redemonstration bandlike strandy punctate osteopenia osteopenic bullous
		obscuration caval cavoatrial interstitium posteriorly anteriorly laterally medially superiorly inferiorly scoliotic excavatum carinatum lobulated glenoid humeral margination loculated loculation radiographically rightward leftward
		clavicular corticated postop preop fissural tricompartmental implantable rotator compressive workup indeterminant chronicity aspergilloma histoplasmosis bronchiectasis bronchiectatic piriform sacroiliac lytic sclerotic spiculated
		ligamentous cerclage groundglass occluder crescentic enthesophyte syndesmophyte ureteral laparoscopic addended definitively dextroscoliosis levoscoliosis hiatal hiatus xray x-ray haziness opacified coalescent centrilobular
		organised organisation localised visualised characterised calcify haemorrhage oesophagus oesophageal anaemia paediatric hilus apices apico sulcus sulci recess costal chondral sternum manubrium xiphoid vertebra vertebrae
		reticular reticulonodular reticulation nodularity cavitary bibasal perihilar bibasilar parenchymal nondisplaced innominate diaphragmatic stimulator nasogastric fluoroscopic phleboliths syndesmophytes
		pneumatoceles vasculatures esophagram tomogram osteophytic spondylitic projectional retropulsion`) {
		out[w] = true
	}
	return out
}()

// part stands before a word that is known without it, as in costochondral and retrocardiac.
var part = longest(`^(?:acromio|angio|antero|aorto|arthro|bi|broncho|cardio|cervico|chole|chondro|costo|cranio|de|dextro|endo|epi|esophago|extra|fibro|gastro|gleno|granulo|hemi|hepato|hyper|hypo|infero|infra|inter|intra|juxta|` +
	`laparo|levo|lymph|lymphadeno|medi|mid|multi|myo|neo|neuro|non|oeso|osteo|over|para|patello|peri|pleuro|pneumo|poly|post|postero|pre|pseudo|pulmo|radio|re|retro|sacro|semi|sterno|sub|super|supra|tele|thoraco|tracheo|trans|tri|un|under|uni|` +
	`vertebro|ventriculo)-?`)

func longest(pattern string) *regexp.Regexp {
	re := regexp.MustCompile(pattern)
	re.Longest()
	return re
}

// ordinary reports whether a word is one that reports are written with.
func ordinary(word string) bool {
	word = strings.TrimRight(strings.ReplaceAll(strings.ToLower(word), "’", "'"), "'-")
	if word = strings.TrimSuffix(word, "'s"); plainly(word) {
		return true
	}
	return strings.Contains(word, "-") && !slices.ContainsFunc(strings.Split(word, "-"), func(w string) bool { return w != "" && !plainly(w) })
}

func plainly(word string) bool {
	if usual[word] || further[word] {
		return true
	}
	if known, err := wordnet.Knows(word); err != nil || known {
		return err == nil
	}
	if len(labeler.LabelSentence(word)) > 0 {
		return true
	}
	before := part.FindString(word)
	rest := word[len(before):]
	return before != "" && (rest == "" && len(before) > 3 || len(rest) > 3 && plainly(rest))
}
