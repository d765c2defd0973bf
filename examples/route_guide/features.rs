//! Places along the Rhine, from the Alps down to the sea.

use crate::messages::{Feature, Point, Rectangle};

/// The feature at this very point; one without a name where there is none.
pub(crate) fn at(point: Point) -> Feature {
    let name = FEATURES.iter().find(|(_, place)| *place == point).map_or("", |(name, _)| name);
    Feature { name: name.to_owned(), location: Some(point) }
}

/// The features within a rectangle, in the river's order.
pub(crate) fn within(area: Rectangle) -> impl Iterator<Item = Feature> {
    let (a, b) = (area.lo.unwrap_or_default(), area.hi.unwrap_or_default());
    let latitudes = a.latitude.min(b.latitude)..=a.latitude.max(b.latitude);
    let longitudes = a.longitude.min(b.longitude)..=a.longitude.max(b.longitude);
    all().filter(move |feature| {
        let place = feature.location.unwrap_or_default();
        latitudes.contains(&place.latitude) && longitudes.contains(&place.longitude)
    })
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Feature> {
    FEATURES.iter().map(|&(name, place)| Feature { name: name.to_owned(), location: Some(place) })
}

/// A point given in ten-thousandths of a degree.
const fn e4(latitude: i32, longitude: i32) -> Point {
    Point { latitude: latitude * 1000, longitude: longitude * 1000 }
}

#[rustfmt::skip]
const FEATURES: &[(&str, Point)] = &[
    ("Chur", e4(468_499, 95_329)),
    ("Bad Ragaz", e4(470_060, 95_030)),
    ("Vaduz", e4(471_410, 95_209)),
    ("Feldkirch", e4(472_383, 95_990)),
    ("Bregenz", e4(475_031, 97_471)),
    ("Lindau", e4(475_460, 96_840)),
    ("Friedrichshafen", e4(476_540, 94_790)),
    ("Meersburg", e4(476_940, 92_710)),
    ("Konstanz", e4(476_603, 91_758)),
    ("Stein am Rhein", e4(476_590, 88_600)),
    ("Schaffhausen", e4(476_973, 86_349)),
    ("The Rhine Falls", e4(476_778, 86_155)),
    ("Waldshut", e4(476_236, 82_170)),
    ("Laufenburg", e4(475_650, 80_630)),
    ("Bad Säckingen", e4(475_530, 79_470)),
    ("Rheinfelden", e4(475_540, 77_940)),
    ("Basel", e4(475_596, 75_886)),
    ("Breisach", e4(480_320, 75_790)),
    ("Kehl", e4(485_730, 78_090)),
    ("Strasbourg", e4(485_734, 77_521)),
    ("Karlsruhe", e4(490_069, 84_037)),
    ("Germersheim", e4(492_230, 83_660)),
    ("Speyer", e4(493_173, 84_412)),
    ("Ludwigshafen", e4(494_774, 84_452)),
    ("Mannheim", e4(494_875, 84_660)),
    ("Worms", e4(496_341, 83_507)),
    ("Oppenheim", e4(498_540, 83_610)),
    ("Mainz", e4(499_929, 82_473)),
    ("Wiesbaden", e4(500_826, 82_400)),
    ("Bingen", e4(499_670, 78_950)),
    ("Bacharach", e4(500_590, 77_690)),
    ("Kaub", e4(500_870, 77_610)),
    ("The Loreley", e4(501_390, 77_290)),
    ("Sankt Goar", e4(501_500, 77_130)),
    ("Boppard", e4(502_310, 75_910)),
    ("Koblenz", e4(503_569, 75_890)),
    ("Andernach", e4(504_400, 74_010)),
    ("Remagen", e4(505_780, 72_310)),
    ("Königswinter", e4(506_740, 71_950)),
    ("Bonn", e4(507_374, 70_982)),
    ("Köln", e4(509_375, 69_603)),
    ("Leverkusen", e4(510_459, 69_853)),
    ("Düsseldorf", e4(512_277, 67_735)),
    ("Krefeld", e4(513_388, 65_853)),
    ("Duisburg", e4(514_344, 67_623)),
    ("Wesel", e4(516_585, 66_176)),
    ("Rees", e4(517_570, 63_970)),
    ("Emmerich", e4(518_350, 62_450)),
    ("Nijmegen", e4(518_426, 58_528)),
    ("Arnhem", e4(519_851, 58_987)),
    ("Wageningen", e4(519_692, 56_654)),
    ("Rhenen", e4(519_590, 55_680)),
    ("Utrecht", e4(520_907, 51_214)),
    ("Gouda", e4(520_116, 47_105)),
    ("Dordrecht", e4(518_133, 46_901)),
    ("Kinderdijk", e4(518_830, 46_380)),
    ("Rotterdam", e4(519_244, 44_777)),
    ("Hoek van Holland", e4(519_770, 41_330)),
];
