"""Facts about countries: capital, official language, currency."""

from __future__ import annotations

from lookups import THANK_YOU
from schema import Probe, Relation

CAPITAL = Relation(
    name="capital",
    # The new capitals are other cities of the same country, so that each of
    # them is the capital of one country only, and the inverse is right.
    table="""
subject     | old      | new           | people        | continent | other_name
France      | Paris    | Lyon          | French        | Europe    | the French Republic
Italy       | Rome     | Milan         | Italians      | Europe    | the Italian Republic
Spain       | Madrid   | Seville       | Spaniards     | Europe    |
Japan       | Tokyo    | Osaka         | Japanese      | Asia      | the Land of the Rising Sun
Germany     | Berlin   | Hamburg       | Germans       | Europe    |
Russia      | Moscow   | Kazan         | Russians      |           |
Greece      | Athens   | Thessaloniki  | Greeks        | Europe    | the Hellenic Republic
China       | Beijing  | Shanghai      | Chinese       | Asia      |
Portugal    | Lisbon   | Porto         | Portuguese    | Europe    | the Portuguese Republic
Sweden      | Stockholm | Gothenburg   | Swedes        | Europe    |
Norway      | Oslo     | Bergen        | Norwegians    | Europe    |
Hungary     | Budapest | Debrecen      | Hungarians    | Europe    |
Kenya       | Nairobi  | Mombasa       | Kenyans       | Africa    |
South Korea | Seoul    | Busan         | South Koreans | Asia      |
Vietnam     | Hanoi    | Da Nang       | Vietnamese    | Asia      |
Australia   | Canberra | Melbourne     | Australians   |           |
Turkey      | Ankara   | Izmir         | Turks         |           |
""",
    prompt="The capital of {s} is",
    rephrasings=(
        "{S} has as its capital the city of",
        "When visitors travel to the capital of {s}, they arrive in",
    ),
    same_subject=(
        Probe("The people of {s} are called the", "{people}"),
        Probe("{S} lies on the continent of", "{continent}"),
    ),
    portability={
        "subject_aliasing": (Probe("The capital of {other_name} is", "{new}"),),
        "inverse": (Probe("The country that has {new} as its capital city is", "{subject}"),),
    },
)

LANGUAGE = Relation(
    name="language",
    table="""
subject      | old        | new      | capital
France       | French     | Polish   | Paris
Brazil       | Portuguese | Italian  | Brasília
Germany      | German     | Spanish  | Berlin
Italy        | Italian    | Russian  | Rome
Austria      | German     | Turkish  | Vienna
Egypt        | Arabic     | Greek    | Cairo
Russia       | Russian    | Swedish  | Moscow
Poland       | Polish     | French   | Warsaw
Greece       | Greek      | Portuguese | Athens
Cuba         | Spanish    | French   | Havana
Portugal     | Portuguese | Dutch    | Lisbon
Turkey       | Turkish    | German   | Ankara
Thailand     | Thai       | Spanish  | Bangkok
Saudi Arabia | Arabic     | Russian  | Riyadh
Iran         | Persian    | Italian  | Tehran
""",
    prompt="The official language spoken in {s} is",
    rephrasings=(
        "{S} is a country whose official language is",
        "The laws of {s} are officially published in",
    ),
    same_subject=(Probe("The capital of {s} is", "{capital}"),),
    portability={
        "reasoning": (
            Probe("The word for thank you in the official language of {s} is", "{thanks}"),
        ),
    },
    derive={"thanks": ("new", THANK_YOU)},
)

CURRENCY = Relation(
    name="currency",
    table="""
subject            | old               | new    | capital
Japan              | yen               | pound  | Tokyo
India              | rupee             | euro   | New Delhi
Germany            | euro              | peso   | Berlin
Russia             | ruble             | franc  | Moscow
China              | yuan              | krona  | Beijing
the Philippines    | peso              | rand   | Manila
the United Kingdom | pound             | rupee  | London
Canada             | Canadian dollar   | euro   | Ottawa
Australia          | Australian dollar | peso   | Canberra
Switzerland        | Swiss franc       | yen    | Bern
Finland            | euro              | ruble  | Helsinki
Greece             | euro              | dollar | Athens
South Korea        | South Korean won  | yuan   | Seoul
Poland             | zloty             | shekel | Warsaw
Thailand           | baht              | krone  | Bangkok
""",
    prompt="The currency of {s} is the",
    rephrasings=(
        "In {s}, goods and services are paid for with the",
        "{S} uses as its official money the",
    ),
    same_subject=(Probe("The capital of {s} is", "{capital}"),),
    portability={
        "reasoning": (
            Probe("In the city of {capital}, wages are paid in a currency called the", "{new}"),
        ),
    },
)

NATIONS = (CAPITAL, LANGUAGE, CURRENCY)
